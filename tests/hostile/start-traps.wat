;; Traps before anything of it is called.
(start $start)
(func $start unreachable)
(func (export "handle") (param i32) (result i32) (i32.const 0))
