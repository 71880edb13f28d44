import type { ReadStream, WriteStream } from 'node:tty'

const escape = '\u001B['
/** Another screen, so that what was there comes back; no cursor; no wrapping of long lines. */
const enter = `${escape}?1049h${escape}?25l${escape}?7l${escape}2J`
const leave = `${escape}?7h${escape}?25h${escape}?1049l`
/** The terminal shows what is between at once, if it knows how; others ignore both. */
const beginFrame = `${escape}?2026h${escape}H`
const endFrame = `${escape}J${escape}?2026l`
/** Before the text: after it, the cursor of a full line stands on its last character. */
const clearLine = `${escape}2K`
const ctrlC = '\u0003'

/** A terminal in which a screen is drawn in place and keys are heard one by one. */
export class Terminal {
  readonly #output: WriteStream
  readonly #input: ReadStream | null
  #onKey: ((key: string) => void) | undefined
  #closed = false

  /** Takes the terminal over; {@link close} gives it back. Without an input no keys are heard. */
  constructor(output: WriteStream, input: ReadStream | null) {
    this.#output = output
    this.#input = input
    output.write(enter)
    output.on('resize', this.#wipe)
    // Whoever ends this process without asking leaves a usable terminal.
    process.on('exit', this.close)
    if (input !== null) {
      input.setRawMode(true)
      input.setEncoding('utf8')
      input.on('data', this.#hear)
      input.resume()
    }
  }

  /** Characters in a line. */
  get width(): number {
    return this.#output.columns
  }

  /** Lines that are shown. */
  get height(): number {
    return this.#output.rows
  }

  /** Whether keys are heard. */
  get hasKeys(): boolean {
    return this.#input !== null
  }

  /** Calls back with every key; `q` also for Ctrl-C, which a raw terminal gives as a key. */
  onKey(callback: (key: string) => void): void {
    this.#onKey = callback
  }

  /** Shows these lines and nothing else; lines below the last row of the terminal are left out. */
  draw(lines: readonly string[]): void {
    if (this.#closed) return
    const shown = lines.slice(0, this.#output.rows)
    const text = shown.map((line) => clearLine + line).join('\r\n')
    this.#output.write(beginFrame + text + endFrame)
  }

  /** Gives the terminal back as it was; a second call does nothing. */
  readonly close = (): void => {
    if (this.#closed) return
    this.#closed = true
    process.off('exit', this.close)
    this.#output.off('resize', this.#wipe)
    if (this.#input !== null) {
      this.#input.off('data', this.#hear)
      this.#input.setRawMode(false)
      this.#input.pause()
    }
    this.#output.write(leave)
  }

  readonly #wipe = (): void => {
    this.#output.write(`${escape}2J`)
  }

  readonly #hear = (keys: string): void => {
    for (const key of keys) this.#onKey?.(key === ctrlC ? 'q' : key.toLowerCase())
  }
}
