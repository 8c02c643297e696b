// As values.c: what is passed is printed before the call. A pointer to a string is shown as the string.
package main

import "fmt"

type Point struct{ X, Y int32 }
type Order struct {
	Id   uint64
	Name string
	Tags []string
}
type Colour uint8

var source = []int{0, 1, 2, 3, 4}
var sink int

//go:noinline
func m_widths(a int8, b uint8, c int16, d uint16, e int32, f uint32) {
	sink += int(a) + int(b) + int(c) + int(d) + int(e) + int(f)
}

//go:noinline
func m_longs(a int64, b uint64, c int, d uintptr) { sink += int(a) ^ int(b) ^ c ^ int(d) }

//go:noinline
func m_kinds(a bool, b rune, c Colour, d string) int { return int(b) + int(c) + len(d) }

//go:noinline
func m_many(a, b, c, d, e, f, g, h, i, j, k, l int) int { return a + b + c + d + e + f + g + h + i + j + k + l }

//go:noinline
func m_doubles(a float64, b int, c float32) float64 { return a*float64(b) + float64(c) }

//go:noinline
func m_by_value(p Point, n int, o Order) int { return int(p.X+p.Y) + n + len(o.Name) + len(o.Tags) }

//go:noinline
func m_text(a string, b *string, c []byte) int { return len(a) + len(*b) + len(c) }

//go:noinline
func m_sequences(a []int32, b []string, c [3]int16, d [2]string) int {
	return len(a) + len(b) + int(c[0]) + len(d[1])
}

//go:noinline
func m_unused(a int, b int, c string) int { return b }

//go:noinline
func m_results(a int, b string) (int, error) { return a + len(b), nil }

func m_recurses(depth int, sum int) int {
	if depth == 0 {
		return sum
	}
	fmt.Printf("main.m_recurses|depth=%d|sum=%d\n", depth-1, sum+depth)
	return m_recurses(depth-1, sum+depth) + 1
}

// Has a frame so large that the check of the stack computes its end first, and fails.
//
//go:noinline
func m_grows(a int, text string) int {
	var room [40000]byte
	room[a] = text[0]
	return int(room[a]) + a
}

//go:noinline
func (p *Point) m_method(by int, label string) int { return int(p.X) + by + len(label) }

//go:noinline
func (o Order) m_value(by int) int { return int(o.Id) + by + len(o.Name) }

func m_inlined(a int, b int) int { return a*3 ^ b + sink }

//go:noinline
func m_interface(a interface{}, b error, n int) int { return n + sink }

func main() {
	for round := 0; round < 3; round++ {
		r := source[round]
		fmt.Printf("main.m_widths|a=-128|b=255|c=-32768|d=65535|e=%d|f=4294967295\n", r)
		m_widths(-128, 255, -32768, 65535, int32(r), 4294967295)
		fmt.Printf("main.m_longs|a=-1|b=18446744073709551615|c=-9223372036854775808|d=%d\n", r)
		m_longs(-1, 18446744073709551615, -9223372036854775808, uintptr(r))
		fmt.Printf("main.m_kinds|a=%t|b=%d|c=%d|d=text\n", r == 1, 'é', r+4)
		sink += m_kinds(r == 1, 'é', Colour(r+4), "text")
		fmt.Printf("main.m_many|a=1|b=-2|c=3|d=-4|e=5|f=-6|g=%d|h=-8|i=9|j=-10|k=11|l=-12\n", r)
		sink += m_many(1, -2, 3, -4, 5, -6, r, -8, 9, -10, 11, -12)
		fmt.Printf("main.m_doubles|a=%.1f|b=42|c=-2.25\n", float64(r)+0.5)
		sink += int(m_doubles(float64(r)+0.5, 42, -2.25))
		order := Order{uint64(r), "order", []string{"new", fmt.Sprint("text ", r)}}
		shown := fmt.Sprintf("{.Id=%d, .Name=\"order\", .Tags=[\"new\", \"text %d\"]}", r, r)
		fmt.Printf("main.m_by_value|p={.X=%d, .Y=-1}|n=3|o=%s\n", r, shown)
		sink += m_by_value(Point{int32(r), -1}, 3, order)
		text := fmt.Sprint("text ", r)
		fmt.Printf("main.m_text|a=%s|b=%s|c=[1, 2, %d]\n", text, text, r)
		sink += m_text(text, &text, []byte{1, 2, byte(r)})
		fmt.Printf("main.m_sequences|a=[%d, -2]|b=[\"one\", \"%s\"]|c=[7, 8, %d]|d=[\"\", \"%s\"]\n", r, text, r, text)
		sink += m_sequences([]int32{int32(r), -2}, []string{"one", text}, [3]int16{7, 8, int16(r)}, [2]string{"", text})
		fmt.Printf("main.m_unused|a=%d|b=%d|c=unused\n", r, r+1)
		sink += m_unused(r, r+1, "unused")
		fmt.Printf("main.m_results|a=%d|b=results\n", r)
		m_results(r, "results")
		fmt.Printf("main.m_recurses|depth=%d|sum=0\n", r)
		sink += m_recurses(r, 0)
		fmt.Printf("main.m_grows|a=%d|text=grows\n", r)
		sink += m_grows(r, "grows")
		point := &Point{int32(r), 2}
		fmt.Printf("main.(*Point).m_method|p=%p|by=%d|label=label\n", point, r)
		sink += point.m_method(r, "label")
		fmt.Printf("main.Order.m_value|o=%s|by=%d\n", shown, r)
		sink += order.m_value(r)
		fmt.Printf("main.m_inlined|a=%d|b=%d\n", r, r*2)
		sink += m_inlined(r, r*2)
		fmt.Printf("main.m_interface|a=?|b=?|n=%d\n", r)
		sink += m_interface(r, nil, r)
	}
}
