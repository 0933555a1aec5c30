;; Calls the host while the host is handing it something, which the component model does not allow.
(import "host" "memory" (memory 1))
(import "host" "get" (func $get (param i32 i32 i32)))
(import "host" "table" (table 1 funcref))
(elem (i32.const 0) $get)
(func (export "handle") (param i32) (result i32) (i32.const 0))
;;; realloc
(call_indirect $table (param i32 i32 i32) (i32.const 1024) (i32.const 1) (i32.const 2048) (i32.const 0))
