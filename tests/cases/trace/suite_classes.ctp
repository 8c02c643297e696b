# After SystemTap's test cxxclass: members of an object and of its bases, functions of classes, those of a template.
#$ suite_classes.cpp
probe container("web"):/app/bin.fn("measure") {
    println(user_string($shape.name), $shape.tag, $shape.width, $named->tag, user_string($named->name))
}
probe container("web"):/app/bin.fn("shapes::Shape::area") {
    println(probefunc(), $this->width, $this->tag, $scale, @var("made"))
}
#= line 3 4 3 line
#= shapes::Shape::area(int) const 4 3 3 12
#= box 3 5 3 box
#= shapes::Shape::area(int) const 5 3 3 12
probe container("web"):/app/bin.fn("shapes::Shape::weigh(long)") { println("shape", $this->width, $density) }  #= shape 4 10
probe container("web"):/app/bin.fn("shapes::Box::weigh") {
    println("box", $this->width, $this->height, $density, user_string($this->name))     #= box 5 6 2 box
    println(@cast($this, "shapes::Shape")->width)                                       #= 5
}
probe container("web"):/app/bin.fn("shapes::larger*") { println($left, $right) }
#= 1 2
#= 7 5
