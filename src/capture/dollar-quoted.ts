/** A text as SQL between dollar signs, under a tag that the text does not contain. */
export function dollarQuoted(text: string): string {
  for (let attempt = 0; ; attempt += 1) {
    const tag = attempt === 0 ? '$tidemark$' : `$tidemark${attempt}$`
    if (!text.includes(tag)) return `${tag}${text}${tag}`
  }
}
