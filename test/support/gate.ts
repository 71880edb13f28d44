/** Something that a test lets happen when it wants it to. */
export interface Gate<Value> {
  readonly passed: Promise<Value>
  readonly open: (value: Value) => void
  readonly fail: (error: unknown) => void
}

/** A gate that is closed. */
export function gate<Value = void>(): Gate<Value> {
  let open: (value: Value) => void = () => undefined
  let fail: (error: unknown) => void = () => undefined
  const passed = new Promise<Value>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { passed, open, fail }
}
