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

All files are checked before anything is written, and all or none are taken. One that was
imported before is passed over.`,
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

func runImport(ctx context.Context, env *cli.Env, who, events string, asJSON bool, args []string) error {
	files, events, err := taskFiles(env, args, events)
	if err != nil {
		return err
	}
	lines, err := eventLines(env, events)
	if err != nil {
		return err
	}
	d, err := act(ctx, env, who)
	if err != nil {
		return err
	}
	defer d.Close()
	var list []intent.Opened
	for _, file := range files {
		o, err := readTask(env, file, lines)
		if err != nil {
			return cli.Hint(fmt.Errorf("%s: %w", say.Name(file), err), "nothing was written")
		}
		if r, err := d.book.Find(o.Name); err == nil && r.Name == o.Name {
			s, err := d.book.Intent(r.ID)
			if err != nil {
				return explain(err)
			}
			if was := s.Opening().Opened.Imported; was != nil && was.Record == o.Imported.Record {
				env.Talk().Note("%s was imported before, as %s", o.Name, r.ID.Short())
				continue
			}
		}
		list = append(list, o)
	}
	made, err := d.book.BeginAll(ctx, d.sealer, list)
	if err != nil {
		return explain(err)
	}
	for i, m := range made {
		if asJSON {
			s := intent.Intent{ID: intent.IDOf(m), Fields: list[i].Fields, State: cmp.Or(list[i].State, intent.Proposed), Last: m}
			if err := env.JSON(written(&s, "")); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(env.Out, "%s %s\n", intent.IDOf(m), list[i].Name); err != nil {
			return err
		}
	}
	return nil
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
	in := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return out, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(line) > intent.MaxImported || n > intent.MaxLines {
			return nil, fmt.Errorf("%s: line %d is too long, or one too many", say.Name(file), n)
		}
		line = strings.TrimSuffix(line, "\n")
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

func readTask(env *cli.Env, file string, lines map[string]map[int]string) (intent.Opened, error) {
	f, err := os.Open(env.Path(file))
	if err != nil {
		return intent.Opened{}, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, intent.MaxImported+1))
	if err != nil {
		return intent.Opened{}, err
	}
	text, err := work.Redacted(env, file, string(b))
	if err != nil {
		return intent.Opened{}, err
	}
	name := strings.TrimSuffix(filepath.Base(file), ".json")
	o, err := intent.ReadSeed([]byte(text), lines[name])
	if err == nil && o.Name != name {
		err = fmt.Errorf("%w: its id is %q, and its file is named otherwise", intent.ErrSeed, o.Name)
	}
	return o, err
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
