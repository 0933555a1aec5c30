;; Hands the host a key that says to be four gigabytes long.
(import "host" "memory" (memory 1))
(import "host" "get" (func $get (param i32 i32 i32)))
(func (export "handle") (param i32) (result i32)
  (call $get (i32.const 0) (i32.const -1) (i32.const 2048))
  (i32.const 0))
