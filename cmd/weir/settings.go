package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"weir/config"
)

// settingFlags are the flags of every command that reads settings.
type settingFlags struct {
	file string
	sets []string
	join []string
}

func (f *settingFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.file, "config", "", "read settings from this `file` (Java properties)")
	c.Flags().StringArrayVar(&f.sets, "set", nil, "set one setting, `key=value`; may be repeated, and counts more than file and environment")
}

// resolve lays file, environment and flags over the defaults.
func (f *settingFlags) resolve(environ []string) (*config.Static, []config.Warning, error) {
	var file config.Source
	if f.file != "" {
		text, err := os.ReadFile(f.file)
		if err != nil {
			return nil, nil, err
		}
		if file, err = config.FromProperties(f.file, text); err != nil {
			return nil, nil, err
		}
	}
	env, err := config.FromEnv(environ, os.ReadFile)
	if err != nil {
		return nil, nil, err
	}
	given := f.sets
	if len(f.join) > 0 {
		given = append(given[:len(given):len(given)], "cluster.join="+strings.Join(f.join, ","))
	}
	sets, err := config.FromSets(given)
	if err != nil {
		return nil, nil, err
	}
	return config.Resolve(file, env, sets)
}
