/** What other nodes are told of the error that a load threw: never its message or stack, which may hold what is not for them. */
export interface LoadFailure {
  readonly name: string
  /** Null: the error had none. */
  readonly code: string | null
}

/** A name or code that is one; anything longer or with blanks may be a message. */
const word = /^[\w$.:-]{1,80}$/

const isWord = (text: unknown): text is string => typeof text === 'string' && word.test(text)

/** What is told of an error. */
export function failureOf(error: unknown): LoadFailure {
  if (!(error instanceof Error)) return { name: 'Error', code: null }
  const code: unknown = Reflect.get(error, 'code')
  const text = typeof code === 'number' ? String(code) : code
  return { name: isWord(error.name) ? error.name : 'Error', code: isWord(text) ? text : null }
}

/** As the shared store keeps it. */
export const failureText = ({ name, code }: LoadFailure): string =>
  code === null ? name : `${name} ${code}`

/** What {@link failureText} has written. */
export function readFailure(text: string): LoadFailure {
  const [name = '', code = null] = text.split(' ')
  return { name, code }
}
