//go:build !linux

package main

func above() []string { return nil }
