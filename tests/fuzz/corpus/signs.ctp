probe begin { x = $a .
b
y = $a . "t" .
$c.d; z = - -a - --b & &$c }
