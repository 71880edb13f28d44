// Writes schema/tidemark.config.schema.json from the schema that checks a configuration, with the
// docstrings of src/define/config/tidemark-config.ts as its descriptions: editors of JSON and of
// TypeScript then show the same words. With --check it writes nothing and exits 1 when out of date.
import { readFileSync, writeFileSync } from 'node:fs'
import { createJiti } from 'jiti'
import { format, resolveConfig } from 'prettier'
import ts from 'typescript'

const pathOf = (name) => new URL(`../${name}`, import.meta.url).pathname
const target = pathOf('schema/tidemark.config.schema.json')
const typesPath = pathOf('src/define/config/tidemark-config.ts')

/** The text of a docstring, on one line. */
const docOf = (node) =>
  ts
    .getJSDocCommentsAndTags(node)
    .map(({ comment }) => ts.getTextOfJSDocComment(comment) ?? '')
    .join(' ')
    .replaceAll(/\{@link (\w+)\}/g, '$1')
    .replaceAll(/\s+/g, ' ')
    .trim()

/** Docstrings by interface and by `interface.member`. */
function readDocs() {
  const docs = new Map()
  const source = ts.createSourceFile(
    typesPath,
    readFileSync(typesPath, 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  )
  for (const node of source.statements.filter(ts.isInterfaceDeclaration)) {
    docs.set(node.name.text, docOf(node))
    for (const member of node.members)
      docs.set(`${node.name.text}.${member.name.text}`, docOf(member))
  }
  return docs
}

function describe(name, schema, docs) {
  const said = (key) => {
    const doc = docs.get(key)
    if (!doc) throw new Error(`${key} has no docstring in tidemark-config.ts.`)
    return doc
  }
  const properties = Object.entries(schema.properties).map(([key, property]) => {
    // Beside a $ref, draft 7 ignores a description.
    const inner = property.$ref === undefined ? property : { allOf: [property] }
    return [key, { description: said(`${name}.${key}`), ...inner }]
  })
  return { description: said(name), ...schema, properties: Object.fromEntries(properties) }
}

async function schemaText() {
  const jiti = createJiti(import.meta.url, { fsCache: false })
  const { configJsonSchema } = await jiti.import(pathOf('src/define/config/config-schema.ts'))
  const { $schema, $ref, definitions, ...rest } = configJsonSchema()
  const docs = readDocs()
  const described = Object.entries(definitions ?? {}).map(([name, schema]) => [
    name,
    schema.properties === undefined ? schema : describe(name, schema, docs),
  ])
  const root = $ref === undefined ? describe('TidemarkConfig', rest, docs) : { $ref, ...rest }
  delete root.id
  const whole = {
    $schema,
    title: 'tidemark.config.json',
    ...root,
    definitions: Object.fromEntries(described),
  }
  return format(JSON.stringify(whole), { ...(await resolveConfig(target)), parser: 'json' })
}

const text = await schemaText()
if (!process.argv.includes('--check')) {
  writeFileSync(target, text)
} else if (readFileSync(target, 'utf8') !== text) {
  console.error(
    'schema/tidemark.config.schema.json is out of date. Run node scripts/write-config-schema.mjs.',
  )
  process.exitCode = 1
}
