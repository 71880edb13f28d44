import { readFileSync } from 'node:fs'

/** The version of this program, as in its package.json; equally deep in src and in dist. */
export function programVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const manifest = JSON.parse(text) as { readonly version: string }
  return manifest.version
}
