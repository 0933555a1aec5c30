;; Wants a larger table to begin with than it may ever have.
(table 30000 funcref)
(func (export "handle") (param i32) (result i32) (i32.const 0))
