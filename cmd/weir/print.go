package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"weir/config"
)

func configCommand(p process) *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Look at the settings", Args: cobra.NoArgs}
	var flags settingFlags
	var origin bool
	show := &cobra.Command{
		Use:   "print",
		Short: "Print every setting that a broker would start with",
		Long: "Print every setting that a broker would start with, as a properties file: keys that are not set and have no default are commented\n" +
			"out, and secrets are hidden. Nothing is started and nothing is written.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			static, warnings, err := flags.resolve(p.environ)
			for _, w := range warnings {
				fmt.Fprintln(p.err, "warning:", w.Text)
			}
			if err != nil {
				return err
			}
			return printSettings(p.out, static, origin)
		},
	}
	flags.add(show)
	show.Flags().BoolVar(&origin, "origin", false, "print behind each setting, after a tab, where its value comes from")
	c.AddCommand(show)
	return c
}

func printSettings(w io.Writer, static *config.Static, origin bool) error {
	out := bufio.NewWriter(w)
	for _, v := range static.All() {
		switch {
		case v.Null:
			fmt.Fprintf(out, "#%s=", v.Name)
		case v.Sensitive:
			fmt.Fprintf(out, "#%s=[hidden]", v.Name)
		default:
			fmt.Fprintf(out, "%s=%s", v.Name, escaper.Replace(v.Value))
		}
		if origin {
			out.WriteByte('\t')
			out.WriteString(v.Origin)
		}
		out.WriteByte('\n')
	}
	return out.Flush()
}

// escaper writes a value so that it can be read back as a property.
var escaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
