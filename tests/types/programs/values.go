// Strings, slices and structs; take is called once.
package main

import "fmt"

type Kind int

type Name string

type Item struct {
	Name   string
	Kind   Kind
	Sizes  []int32
	Next   *Item
	On     bool
	Ratio  float64
	Fixed  [3]uint8
	Alias  Name
}

//go:noinline
func take(item *Item, text string, numbers []int, by Item, count uint16) {
	fmt.Println(item.Name, text, numbers, by.Kind, count)
}

func main() {
	next := &Item{Name: "second", Kind: 2}
	item := Item{Name: "first", Kind: 1, Sizes: []int32{7, -8}, Next: next, On: true, Ratio: 0.75, Fixed: [3]uint8{1, 2, 3}, Alias: "also"}
	take(&item, "some text", []int{10, 20, 30}, item, 65535)
}
