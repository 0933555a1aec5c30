;; Fills all of its memory with one instruction, again and again.
(memory 900)
(func (export "handle") (param i32) (result i32)
  (loop $again (memory.fill (i32.const 0) (i32.const 7) (i32.const 58982400)) (br $again))
  (i32.const 0))
