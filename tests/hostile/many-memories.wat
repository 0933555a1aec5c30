;; Each memory is within the limit, their sum is not.
(memory 300) (memory 300) (memory 300) (memory 300)
(func (export "handle") (param i32) (result i32) (i32.const 0))
