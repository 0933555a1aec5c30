// Goes wrong as the event says.
package main

import (
	"log/slog"
	"os"
	"strings"

	"relais.internal/relais"
)

func init() { relais.Register(relais.Handlers{OnEvent: told}) }

func main() {}

var turns int

func told(event relais.Event) error {
	switch event.Verb() {
	case "loop":
		loop()
	case "memory":
		memory()
	case "exception":
		exception(nil)
	case "exit":
		os.Exit(3)
	case "recursion":
		turns = deeper(0)
	case "log":
		flood()
	}
	return nil
}

func loop() {
	for {
		turns++
	}
}

func memory() {
	var kept [][]byte
	for {
		kept = append(kept, make([]byte, 1<<20))
	}
}

//go:noinline
func exception(given map[string]int) { given["missing"] = 1 }

//go:noinline
func deeper(depth int) int { return deeper(depth+1) + 1 }

func flood() {
	line := strings.Repeat("x", 8192)
	for {
		slog.Info(line)
	}
}
