//go:build ignore

// Command report reads the output of "go test -json" and prints what people want
// to see of it: a line per package, the whole output of what failed, the reasons of
// what was skipped, and the numbers. It exits 1 when a test failed, or when fewer
// tests passed than the number in the file that -floor names: a run that tested
// nothing is no success.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
)

type event struct {
	Action, Package, Test, Output, ImportPath, FailedBuild string
}

func main() {
	floorFile := flag.String("floor", "", "`file` with the least number of tests that must pass")
	flag.Parse()
	floor := 0
	if *floorFile != "" {
		text, err := os.ReadFile(*floorFile)
		check(err)
		floor, err = strconv.Atoi(strings.TrimSpace(string(text)))
		check(err)
	}

	output := make(map[string][]string) // of tests and packages that run
	failedIn := make(map[string]bool)   // packages with a failed test
	var passed, failed, skipped int
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Println(in.Text()) // not from a test: make, or the go command itself
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			output[key] = append(output[key], e.Output)
			if _, said, found := strings.Cut(e.Output, ": matrix: "); found { // which part of it was run
				fmt.Print("matrix: " + said)
			}
			if e.Test == "" && (strings.HasPrefix(e.Output, "ok ") || strings.HasPrefix(e.Output, "ok\t")) {
				fmt.Print(e.Output)
			}
		case "build-output":
			fmt.Print(e.Output)
		case "pass":
			if e.Test != "" {
				passed++
			}
			delete(output, key)
		case "skip":
			if e.Test != "" {
				skipped++
				fmt.Printf("skipped: %s %s\n%s", e.Package, e.Test, reasons(output[key]))
			}
			delete(output, key)
		case "fail":
			if e.Test != "" || !failedIn[e.Package] { // the package itself: it did not build, or was ended
				failed++
			}
			failedIn[e.Package] = true
			fmt.Printf("FAIL: %s %s\n%s", e.Package, e.Test, strings.Join(output[key], ""))
			delete(output, key)
		}
	}
	check(in.Err())
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	switch {
	case failed > 0:
		os.Exit(1)
	case passed < floor:
		fmt.Printf("fewer tests passed than the %d of %s\n", floor, *floorFile)
		os.Exit(1)
	}
}

// reasons leaves out the lines that every test has.
func reasons(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		if t := strings.TrimSpace(l); !strings.HasPrefix(t, "===") && !strings.HasPrefix(t, "---") {
			b.WriteString(l)
		}
	}
	return b.String()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(2)
	}
}
