;; Grows a table until it is refused.
(table 1 funcref)
(func (export "handle") (param i32) (result i32)
  (loop $more (br_if $more (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1))))
  unreachable)
