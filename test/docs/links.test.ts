import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Folders that hold no page of ours. */
const foreign = ['node_modules', 'dist', 'coverage', '.git', '.tidemark', '.next']

function pagesIn(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return foreign.includes(entry.name) ? [] : pagesIn(path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}

const pages = pagesIn('.')

const textOf = (page: string): string => readFileSync(join(root, page), 'utf8')

/** The text without what is shown as code, where brackets are no links. */
const proseOf = (page: string): string =>
  textOf(page)
    .replaceAll(/^( *)```[^]*?^\1```/gm, '')
    .replaceAll(/`[^`\n]*`/g, '')

/** The anchors that a page has: its headings as GitHub makes ids of them. */
const anchorsOf = (page: string): readonly string[] =>
  [...textOf(page).matchAll(/^#+ +(.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  )

/** Links of a page that lead to nothing in this repository. */
function deadLinks(page: string): readonly string[] {
  const links = [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link)
  return links.filter((link) => {
    if (/^[a-z]+:/.test(link)) return false
    const [path = '', anchor] = link.split('#')
    const target = path === '' ? page : join(dirname(page), path)
    if (!existsSync(join(root, target))) return true
    return anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).includes(anchor)
  })
}

/** Paths that a page names as code, also with a star for some of its last part, and that are not there. */
function deadPaths(page: string): readonly string[] {
  const text = textOf(page).replaceAll(/^( *)```[^]*?^\1```/gm, '')
  const named = /`((?:src|test|docs|sql|bench|scripts|examples)\/[\w./*-]+)`/g
  return [...text.matchAll(named)].flatMap(([, path = '']) => (isThere(path) ? [] : [path]))
}

/** Of a path with a star, or with NNNN for a number, the folder before it counts. */
const isThere = (path: string): boolean =>
  existsSync(join(root, /\*|NNNN/.test(path) ? dirname(path.replace(/\*.*$/, 'x')) : path))

test('every link of every page leads to a file and a heading that are there', () => {
  const dead = pages.flatMap((page) => deadLinks(page).map((link) => `${page}: ${link}`))
  expect(dead).toEqual([])
})

test('the manual lists each of its pages, once', () => {
  const listed = [...proseOf('docs/README.md').matchAll(/\]\(([\w-]+\.md)\)/g)].map(([, to]) => to)
  const written = readdirSync(join(root, 'docs')).filter((name) => /(?<!README)\.md$/.test(name))
  expect(listed.toSorted()).toEqual(written.toSorted())
})

test('every path of ours that a page names is there', () => {
  const dead = pages.flatMap((page) => deadPaths(page).map((path) => `${page}: ${path}`))
  expect(dead).toEqual([])
})
