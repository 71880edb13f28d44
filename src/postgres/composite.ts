/**
 * The fields of a row as PostgreSQL writes it, `(1,"a ""b""",)`: each as text, null where it is NULL.
 * An empty text is written in quotes, so that it is told from NULL.
 */
export function compositeFields(text: string): readonly (string | null)[] {
  const fields: (string | null)[] = []
  let at = 1
  for (;;) {
    const { value, end } = fieldAt(text, at)
    fields.push(value)
    if (text[end] !== ',') return fields
    at = end + 1
  }
}

function fieldAt(
  text: string,
  start: number,
): { readonly value: string | null; readonly end: number } {
  let value = ''
  let quoted = false
  let written = false
  let at = start
  for (; at < text.length; at += 1) {
    const sign = text[at] ?? ''
    if (!quoted && (sign === ',' || sign === ')')) break
    written = true
    if (sign === '"') {
      if (quoted && text[at + 1] === '"') {
        value += '"'
        at += 1
      } else quoted = !quoted
    } else if (sign === '\\') {
      at += 1
      value += text[at] ?? ''
    } else value += sign
  }
  return { value: written ? value : null, end: at }
}
