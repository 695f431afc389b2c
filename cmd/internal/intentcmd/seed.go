package intentcmd

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git/intents"
)

func newImport(env *cli.Env) *cobra.Command {
	var who, events string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import DIR | FILE...",
		Short: "Open intents from task files of the seed",
		Long: `Open an intent for each task file of the seed: autonomy/tasks/<id>.json, with its lines of
events.jsonl. DIR is the folder that has both. The id there becomes the name here, the state is
taken over, and the files are kept in the statement as they are, so that export gives them back
byte for byte, unless something in them was redacted. It needs intent.import.

A file that is no task, or says what no intent can, is left out with the reason, and the exit
code is 1; the others are taken, all at once. What an intent says otherwise than its file is
told: paths in their plain form, texts of several lines where one is asked for, a title that is
too long. One that was imported before is passed over.`,
		Example: "  covenant intent import agent-os/autonomy\n  covenant intent import tasks/fix-login.json --events events.jsonl",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runImport(cmd.Context(), env, who, events, asJSON, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&events, "events", "", "the file of events (default: events.jsonl in DIR)")
	f.StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per intent")
	return cmd
}

// ImportedTask is a task file that was taken in, with --json.
type ImportedTask struct {
	Written
	Changed []string `json:"changed,omitempty"` // what it says otherwise than the file
}

// LeftOut is a task file that was not, with --json.
type LeftOut struct {
	Type   string `json:"type"` // "left-out"
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// task is a task file that was read.
type task struct {
	file string
	intent.Opened
	told []string
	err  error
}

func runImport(ctx context.Context, env *cli.Env, who, events string, asJSON bool, args []string) error {
	files, events, err := taskFiles(env, args, events)
	if err != nil {
		return err
	}
	lines, err := eventLines(env, events)
	if err != nil {
		return err
	}
	var tasks []task
	for _, file := range files {
		tasks = append(tasks, readTask(ctx, env, file, lines))
	}
	d, err := act(ctx, env, who)
	if err != nil {
		return err
	}
	defer d.Close()
	list, left, err := d.taken(ctx, tasks, asJSON)
	if err != nil {
		return err
	}
	opened := make([]intent.Opened, 0, len(list))
	for i := range list {
		opened = append(opened, list[i].Opened)
	}
	made, err := d.book.BeginAll(ctx, d.sealer, opened)
	if err != nil {
		return explain(err)
	}
	for i, m := range made {
		t := &list[i]
		if asJSON {
			s := intent.Intent{ID: intent.IDOf(m), Fields: t.Fields, State: cmp.Or(t.State, intent.Proposed), Last: m}
			if err := env.JSON(ImportedTask{written(&s, ""), t.told}); err != nil {
				return err
			}
			continue
		}
		for _, what := range t.told {
			env.Talk().Note("%s: here %s", t.Imported.SeedID(), what)
		}
		if _, err := fmt.Fprintf(env.Out, "%s %s\n", intent.IDOf(m), t.Name); err != nil {
			return err
		}
	}
	if left > 0 {
		env.Talk().Note("%s imported, %s left out", say.Count(len(made), "task"), say.Count(left, "task"))
		return cli.No(nil)
	}
	return nil
}

// taken returns the tasks that can be taken in, and how many can't: those are told. One that was named alone is an error.
func (d *desk) taken(ctx context.Context, tasks []task, asJSON bool) (list []task, left int, err error) {
	names := map[string]bool{}
	for _, t := range tasks {
		if t.err == nil {
			if r, err := d.book.Find(t.Name); err == nil && r.Name == t.Name {
				s, err := d.book.Intent(r.ID)
				if err != nil {
					return nil, 0, explain(err)
				}
				if was := s.Opening().Opened.Imported; was != nil && was.Record == t.Imported.Record {
					d.Env.Talk().Note("%s was imported before, as %s", t.Name, r.ID.Short())
					continue
				}
			}
			if t.err = d.book.Fits(&t.Opened); t.err == nil && names[t.Name] {
				t.err = fmt.Errorf("%w: the name %s is there twice", intent.ErrSeed, t.Name)
			}
		}
		if t.err == nil {
			t.err = d.heed(ctx, t.Text, t.Title)
		}
		if t.err == nil {
			names[t.Name] = true
			list = append(list, t)
			continue
		}
		t.err = fmt.Errorf("%s: %w", say.Name(t.file), t.err)
		if len(tasks) == 1 {
			return nil, 0, explain(t.err)
		}
		left++
		if asJSON {
			if err := d.Env.JSON(LeftOut{"left-out", t.file, t.err.Error()}); err != nil {
				return nil, 0, err
			}
			continue
		}
		d.Env.Talk().Warn("left out: %v", t.err)
	}
	return list, left, nil
}

// taskFiles returns the files that are meant, and the file of their events.
func taskFiles(env *cli.Env, args []string, events string) (files []string, eventFile string, err error) {
	if info, err := os.Stat(env.Path(args[0])); len(args) == 1 && err == nil && info.IsDir() {
		dir := args[0]
		found, err := filepath.Glob(filepath.Join(glob(env.Path(dir)), "tasks", "*.json"))
		if err != nil || len(found) == 0 {
			return nil, "", cli.Hint(fmt.Errorf("%s has no tasks/*.json", say.Name(dir)), "name the folder that has tasks and events.jsonl, or the files")
		}
		slices.Sort(found)
		if events == "" {
			events = filepath.Join(dir, "events.jsonl")
			if _, err := os.Stat(env.Path(events)); errors.Is(err, fs.ErrNotExist) {
				events = ""
			}
		}
		return found, events, nil
	}
	return args, events, nil
}

// glob takes away what the characters of a name mean in a pattern.
func glob(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// eventLines reads a file of events, by tasks and the numbers of the lines.
func eventLines(env *cli.Env, file string) (map[string]map[int]string, error) {
	out := map[string]map[int]string{}
	if file == "" {
		return out, nil
	}
	f, err := os.Open(env.Path(file))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, intent.MaxImported+1)
	for n := 1; ; n++ {
		b, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(b) == 0:
			return out, nil
		case errors.Is(err, bufio.ErrBufferFull) || n > intent.MaxLines:
			return nil, fmt.Errorf("%s: line %d is too long, or one too many", say.Name(file), n)
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		}
		line := strings.TrimSuffix(string(b), "\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		e, perr := intent.ReadSeedEvent([]byte(line))
		if perr != nil {
			return nil, cli.Hint(fmt.Errorf("%s: line %d: %w", say.Name(file), n, perr), "nothing was written")
		}
		if out[e.Task] == nil {
			out[e.Task] = map[int]string{}
		}
		if out[e.Task][n], err = work.Redacted(env, fmt.Sprintf("%s: line %d", file, n), line); err != nil {
			return nil, err
		}
	}
}

func readTask(ctx context.Context, env *cli.Env, file string, lines map[string]map[int]string) task {
	t := task{file: file}
	b, err := env.Read(ctx, env.Path(file), intent.MaxImported)
	if err != nil {
		t.err = err
		return t
	}
	text, err := work.Redacted(env, file, string(b))
	if err != nil {
		t.err = err
		return t
	}
	name := strings.TrimSuffix(filepath.Base(file), ".json")
	t.Opened, t.told, t.err = intent.ReadSeed([]byte(text), lines[name])
	if t.err == nil && t.Imported.SeedID() != name {
		t.err = fmt.Errorf("%w: its id is %q, and its file is named otherwise", intent.ErrSeed, t.Imported.SeedID())
	}
	return t
}

func newExport(env *cli.Env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "export [ID]",
		Short: "Write intents as task files of the seed",
		Long: `Print an intent as a task file of the seed; with --dir write all intents, or that one, to
tasks/<id>.json below a folder, and events.jsonl beside that. What was imported and not touched
since is written as it was, byte for byte; of what moved on, fields that did not change are as
they were, in their order, those that the seed does not know among them, and the file is laid
out as JSON.stringify(task, null, 2) does it. Lines of events keep their places; new ones follow.`,
		Example:           "  covenant intent export fix-login\n  covenant intent export --dir agent-os/autonomy",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: complete(env),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" && len(args) == 0 {
				return cli.Usage("name an intent, or a folder: --dir DIR")
			}
			d, err := look(cmd.Context(), env, "", false)
			if err != nil {
				return err
			}
			defer d.Close()
			rows := d.book.Rows(func(r *intents.Brief) bool { return !r.Void() })
			if len(args) == 1 {
				r, err := d.find(args[0])
				if err != nil {
					return err
				}
				rows = func(yield func(*intents.Row) bool) { yield(&r) }
			}
			return d.export(rows, dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write files below this folder")
	return cmd
}

func (d *desk) export(rows iter.Seq[*intents.Row], dir string) error {
	var lines []intent.SeedLine
	names := map[string]bool{}
	left := 0
	for r := range rows {
		s, err := d.book.Intent(r.ID)
		if err != nil {
			return explain(err)
		}
		text, err := s.WriteSeed()
		if err != nil {
			return explain(err)
		}
		if dir == "" {
			_, err := d.Env.Out.Write(text)
			return err
		}
		name := s.SeedName()
		if names[name] {
			left++
			d.Env.Talk().Warn("%s is left out: another intent has its name, %s", r.ID.Short(), name)
			continue
		}
		names[name] = true
		if err := d.write(filepath.Join(dir, "tasks", name+".json"), text); err != nil {
			return err
		}
		more, err := s.SeedEvents()
		if err != nil {
			return explain(err)
		}
		lines = append(lines, more...)
	}
	slices.SortStableFunc(lines, func(a, b intent.SeedLine) int { // where they stood, then when they were made
		switch {
		case (a.Number == 0) != (b.Number == 0):
			return cmp.Compare(b.Number, a.Number)
		case a.Number != b.Number:
			return cmp.Compare(a.Number, b.Number)
		}
		return a.Time.Compare(b.Time)
	})
	var all strings.Builder
	for _, l := range lines {
		all.WriteString(l.Text + "\n")
	}
	if err := d.write(filepath.Join(dir, "events.jsonl"), []byte(all.String())); err != nil {
		return err
	}
	d.Env.Talk().Note("%s, %s of events", say.Count(len(names), "task"), say.Count(len(lines), "line"))
	if left > 0 {
		return cli.No(nil)
	}
	return nil
}

func (d *desk) write(name string, b []byte) error {
	file, err := d.Env.Output(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil { //nolint:gosec // files of the work tree, as Git makes them
		return err
	}
	return os.WriteFile(file, b, 0o666) //nolint:gosec // likewise
}
