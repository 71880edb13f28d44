/** A text as SQL between dollar signs, under a tag that the text does not contain. */
export function dollarQuoted(text: string): string {
  for (let attempt = 0; ; attempt += 1) {
    const tag = attempt === 0 ? '$tidemark$' : `$tidemark${attempt}$`
    // Together, for the end of a text and the begin of its tag may make a tag.
    if (`${text}${tag}`.indexOf(tag) === text.length) return `${tag}${text}${tag}`
  }
}
