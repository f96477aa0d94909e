// Command floors draws a package as a house: files are rooms, and an arrow runs from a file
// to each file of which it uses a declaration. It puts the files on floors, so that as few
// arrows as it can find run upwards, and prints those that do: a reader who begins at the
// top meets them before what they need.
//
//	go -C tools run ./floors [-v] [-most N] [folder]
//
// The folder is one of the module beside tools; left out it is the root. With -most it
// fails if more arrows run upwards.
package main

import (
	"flag"
	"fmt"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	verbose := flag.Bool("v", false, "print the floors and what the backward arrows use")
	most := flag.Int("most", -1, "how many arrows may run backwards")
	flag.Parse()
	dir := ".."
	if flag.NArg() > 0 {
		dir = filepath.Join("..", flag.Arg(0))
	}
	h, err := survey(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	order := h.arrange()
	back := h.backward(order)
	floors := h.floors(order)
	fmt.Printf("%d files, %d arrows on %d floors, %d of them backwards\n", len(h.files), h.count(), len(floors), len(back))
	if *verbose {
		for i, floor := range floors {
			fmt.Printf("%3d  %s\n", len(floors)-i, strings.Join(floor, " "))
		}
	}
	for _, a := range back {
		fmt.Printf("%s -> %s: %s\n", h.files[a[0]], h.files[a[1]], strings.Join(h.uses[a], ", "))
	}
	if *most >= 0 && len(back) > *most {
		fmt.Fprintf(os.Stderr, "%d arrows run backwards, and %d may\n", len(back), *most)
		os.Exit(1)
	}
}

// house is the files of a package, and which uses which.
type house struct {
	files []string
	to    [][]bool            // to[i][j]: i uses a declaration of j
	uses  map[[2]int][]string // what it uses
}

// survey reads the package in dir, without its tests.
func survey(dir string) (*house, error) {
	loaded, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax, Dir: dir}, ".")
	if err != nil {
		return nil, err
	}
	p := loaded[0]
	if len(p.Errors) > 0 {
		return nil, p.Errors[0]
	}
	h := &house{uses: map[[2]int][]string{}}
	index := map[string]int{}
	for _, f := range p.Syntax {
		name := filepath.Base(p.Fset.Position(f.Package).Filename)
		index[name] = len(h.files)
		h.files = append(h.files, name)
	}
	h.to = make([][]bool, len(h.files))
	for i := range h.to {
		h.to[i] = make([]bool, len(h.files))
	}
	for id, used := range p.TypesInfo.Uses {
		if used.Pkg() != p.Types {
			continue
		}
		from := index[filepath.Base(p.Fset.Position(id.Pos()).Filename)]
		to := index[filepath.Base(p.Fset.Position(origin(used).Pos()).Filename)]
		arrow := [2]int{from, to}
		if from == to {
			continue
		}
		h.to[from][to] = true
		if !slices.Contains(h.uses[arrow], id.Name) {
			h.uses[arrow] = append(h.uses[arrow], id.Name)
		}
	}
	for _, names := range h.uses {
		slices.Sort(names)
	}
	return h, nil
}

// origin is what an instance of a generic type was declared as.
func origin(o types.Object) types.Object {
	switch o := o.(type) {
	case *types.Func:
		return o.Origin()
	case *types.Var:
		return o.Origin()
	}
	return o
}

func (h *house) count() (n int) {
	for _, row := range h.to {
		for _, there := range row {
			if there {
				n++
			}
		}
	}
	return n
}

// backward are the arrows that run from a later file of the order to an earlier one.
func (h *house) backward(order []int) (all [][2]int) {
	for i, above := range order {
		for _, below := range order[i+1:] {
			if h.to[below][above] {
				all = append(all, [2]int{below, above})
			}
		}
	}
	return all
}

// floors puts each file right above the highest that it uses, top first; arrows that run
// backwards do not count.
func (h *house) floors(order []int) [][]string {
	height, top := make([]int, len(h.files)), 0
	for i := len(order) - 1; i >= 0; i-- {
		for _, below := range order[i+1:] {
			if h.to[order[i]][below] {
				height[order[i]] = max(height[order[i]], height[below]+1)
			}
		}
		top = max(top, height[order[i]])
	}
	all := make([][]string, top+1)
	for _, file := range order {
		at := top - height[file]
		all[at] = append(all[at], h.files[file])
	}
	return all
}
