;; No attack: ends well at once. Address 0 holds the zero that says ok.
(import "host" "memory" (memory 1))
(func (export "handle") (param i32) (result i32) (i32.const 0))
