;; Wants more memory to begin with than it may ever have: refused before anything is mapped.
(memory 4000)
(func (export "handle") (param i32) (result i32) (i32.const 0))
