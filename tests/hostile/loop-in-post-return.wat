;; Has answered, and computes for ever when it is to clean up.
(import "host" "memory" (memory 1))
(func (export "handle") (param i32) (result i32) (i32.const 0))
(func (export "post") (param i32) (loop $again (br $again)))
;;; lift
(post-return (core func $run "post"))
