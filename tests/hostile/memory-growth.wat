;; Grows a memory of its own until it is refused, then gives up in the way of most languages.
(memory 1)
(func (export "handle") (param i32) (result i32)
  (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
  unreachable)
