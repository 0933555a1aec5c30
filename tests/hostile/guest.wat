;; What all hostile guests are wrapped in: a component that exports `on-event`, as the contract has it, and an `on-timer`
;; that does nothing. It may call `state.get`. The core module of each attack takes the place of the one that is empty here.
(component
  (import "relais:plugin/state@1.0.0" (instance $state
    (export "get" (func (param "key" string) (result (option (list u8)))))))
  (alias export $state "get" (func $state-get))

  ;; The memory is a module of its own, so that `state.get` can be lowered before the attack is there.
  (core module $libc
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (if (i32.gt_u (global.get $next) (i32.const 131072)) (then (global.set $next (i32.const 65536)) (local.set $at (i32.const 65536))))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $get (canon lower (func $state-get) (memory $memory) (realloc $realloc)))

  (core module $attack (;attack;))
  (core instance $run (instantiate $attack
    (with "host" (instance (export "memory" (memory $memory)) (export "get" (func $get))))))

  (type $attributes (list (tuple string string)))
  (type $retry-info (record (field "message" string) (field "detail" (option string)) (field "after" (option f64)) (field "attributes" $attributes)))
  (export $retry-info' "retry-info" (type $retry-info))
  (type $reject-info (record (field "message" string) (field "detail" (option string)) (field "attributes" $attributes)))
  (export $reject-info' "reject-info" (type $reject-info))
  (type $failure (variant (case "retry" $retry-info') (case "reject" $reject-info')))
  (export $failure' "failure" (type $failure))
  (type $event (record
    (field "id" string) (field "source" string) (field "event-type" string) (field "subject" (option string))
    (field "time" f64) (field "customer" (option string)) (field "data" string)
    (field "attributes" (list (tuple string string)))))
  (export $event' "event" (type $event))
  (alias core export $run "handle" (core func $core-handle))
  (func $handle (param "event" $event') (result (result (error $failure')))
    (canon lift (core func $core-handle) (memory $memory) (realloc $realloc)))
  (instance $on-event (export "handle" (func $handle)))
  (export "relais:plugin/on-event@1.0.0" (instance $on-event))

  (core module $idle
    (func (export "handle") (param i32 i32 f64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0)))
  (core instance $idle (instantiate $idle))
  (type $timer (record
    (field "key" string) (field "due" f64) (field "customer" (option string)) (field "data" string) (field "set-by" string)
    (field "attributes" $attributes)))
  (export $timer' "timer" (type $timer))
  (alias core export $idle "handle" (core func $core-on-timer))
  (func $timer-handle (param "timer" $timer') (result (result (error $failure')))
    (canon lift (core func $core-on-timer) (memory $memory) (realloc $realloc)))
  (instance $on-timer (export "handle" (func $timer-handle)))
  (export "relais:plugin/on-timer@1.0.0" (instance $on-timer)))
