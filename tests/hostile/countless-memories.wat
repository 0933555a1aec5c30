;; Has more memories than it may have, of no size.
(memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0)
(memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0) (memory 0)
(func (export "handle") (param i32) (result i32) (i32.const 0))
