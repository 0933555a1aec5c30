;; Each table is within the limit, their sum is not.
(table 9000 funcref) (table 9000 funcref) (table 9000 funcref)
(func (export "handle") (param i32) (result i32) (i32.const 0))
