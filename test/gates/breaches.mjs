// The breaches that the gates must see. Each is made in a copy of the source tree: `files` are
// written, `edits` replace text in files that exist. A gate is red for the breach when `sees` holds:
// its rule is named together with the file of the breach, so that no other fault can pass for it.

/** Lines enough to break the limit of a function. */
const manyLines = Array.from({ length: 90 }, (_, n) => `  total += ${n}`).join('\n')

const target = { 'src/engine/breach-target.ts': '/** A target. */\nexport const target = 1\n' }
const imports = (path) =>
  `import { target } from '${path}'\n/** Uses it. */\nexport const used = target\n`

/** Of dependency-cruiser, by the rule that names the breach. */
export const layers = [
  {
    what: 'model imports engine',
    rule: 'layer-model',
    from: 'src/model/breach-upward.ts',
    files: { ...target, 'src/model/breach-upward.ts': imports('../engine/breach-target.ts') },
  },
  {
    what: 'a station imports a type of another station',
    rule: 'layer-queue',
    from: 'src/queue/breach-sideways.ts',
    files: {
      'src/capture/breach-noun.ts': '/** A noun. */\nexport type Noun = string\n',
      'src/queue/breach-sideways.ts':
        "import type { Noun } from '../capture/breach-noun.ts'\n/** Uses it. */\nexport type Used = Noun\n",
    },
  },
  {
    what: 'a pure folder imports postgres',
    rule: 'layer-schedule',
    from: 'src/schedule/breach-impure.ts',
    files: {
      'src/postgres/breach-target.ts': '/** A target. */\nexport const target = 1\n',
      'src/schedule/breach-impure.ts': imports('../postgres/breach-target.ts'),
    },
  },
  {
    what: 'cli imports postgres',
    rule: 'layer-cli',
    from: 'src/cli/breach-shortcut.ts',
    files: { 'src/cli/breach-shortcut.ts': imports('../postgres/breach-target.ts') },
  },
  {
    what: 'two files import types of each other',
    rule: 'no-circular',
    from: 'src/base/breach-hen.ts',
    files: {
      'src/base/breach-hen.ts':
        "import type { Egg } from './breach-egg.ts'\n/** A hen. */\nexport type Hen = { from: Egg }\n",
      'src/base/breach-egg.ts':
        "import type { Hen } from './breach-hen.ts'\n/** An egg. */\nexport type Egg = { from: Hen }\n",
    },
  },
  {
    what: 'pg outside src/postgres',
    rule: 'pg-only-in-postgres',
    from: 'src/refresh/breach-pg.ts',
    files: {
      'src/refresh/breach-pg.ts':
        "import pg from 'pg'\n/** A door. */\nexport const door = pg.Client\n",
    },
  },
  {
    what: 'a type of pg outside src/postgres',
    rule: 'pg-only-in-postgres',
    from: 'src/observe/breach-pg-type.ts',
    files: {
      'src/observe/breach-pg-type.ts':
        "import type { Client } from 'pg'\n/** A door. */\nexport type Door = Client\n",
    },
  },
  {
    what: 'a folder without a layer',
    rule: 'folder-has-a-layer',
    from: 'src/helpers/breach.ts',
    files: { ...target, 'src/helpers/breach.ts': imports('../engine/breach-target.ts') },
  },
  {
    what: 'a file that nothing imports',
    rule: 'no-orphans',
    from: 'src/base/breach-orphan.ts',
    files: { 'src/base/breach-orphan.ts': '/** Alone. */\nexport const alone = 1\n' },
  },
  {
    what: 'an import of a file that is not there',
    rule: 'resolvable',
    from: 'src/base/breach-nowhere.ts',
    files: { 'src/base/breach-nowhere.ts': imports('./nowhere.ts') },
  },
]

/** Of ESLint, by rule. The file is `src/base/breach-lint-<n>.ts`. */
export const lint = [
  {
    what: 'a shadowed name',
    rule: '@typescript-eslint/no-shadow',
    code: '/** Doc. */\nexport function outer(value: number): number {\n  return [1].map((value) => value).length + value\n}\n',
  },
  {
    what: 'a floating promise',
    rule: '@typescript-eslint/no-floating-promises',
    code: "/** Doc. */\nexport function adrift(): void {\n  Promise.resolve('adrift')\n}\n",
  },
  {
    what: 'any',
    rule: '@typescript-eslint/no-explicit-any',
    code: '/** Doc. */\nexport const loose = (value: any): number => Number(value)\n',
  },
  {
    what: 'an assertion that a value is there',
    rule: '@typescript-eslint/no-non-null-assertion',
    code: '/** Doc. */\nexport const first = (all: readonly string[]): string => all[0]!\n',
  },
  {
    what: 'a function that is too long',
    rule: 'max-lines-per-function',
    code: `/** Doc. */\nexport function long(): number {\n  let total = 0\n${manyLines}\n  return total\n}\n`,
  },
  {
    what: 'five parameters',
    rule: 'max-params',
    code: '/** Doc. */\nexport const sum = (a: number, b: number, c: number, d: number, e: number): number =>\n  a + b + c + d + e\n',
  },
  {
    what: 'an exported function without a docstring',
    rule: 'jsdoc/require-jsdoc',
    code: 'export function bare(): number {\n  return 1\n}\n',
  },
  {
    what: 'an exported arrow function without a docstring',
    rule: 'jsdoc/require-jsdoc',
    code: 'export const bare = (): number => 1\n',
  },
  {
    what: 'an exported constant without a docstring',
    rule: 'jsdoc/require-jsdoc',
    code: 'export const bare = 1\n',
  },
  {
    what: 'an exported type without a docstring',
    rule: 'jsdoc/require-jsdoc',
    code: 'export type Bare = string\n',
  },
  {
    what: 'a switch that leaves a case out',
    rule: '@typescript-eslint/switch-exhaustiveness-check',
    code: "/** Doc. */\nexport function open(kind: 'a' | 'b'): number {\n  switch (kind) {\n    case 'a':\n      return 1\n  }\n  return 2\n}\n",
  },
  {
    what: 'a value import of a type',
    rule: '@typescript-eslint/consistent-type-imports',
    code: "import { PlanStep } from '../model/plan.ts'\n/** Doc. */\nexport type Step = PlanStep\n",
  },
  {
    what: 'writing to the console',
    rule: 'no-console',
    code: "/** Doc. */\nexport const shout = (): void => console.log('here')\n",
  },
  {
    what: 'production code that imports a test',
    rule: 'no-restricted-imports',
    code: "import '../model/errors.test.ts'\n",
  },
  {
    what: 'a test that is left out',
    rule: 'no-restricted-syntax',
    code: "import { test } from 'vitest'\n\ntest.skip('later', () => undefined)\n",
  },
  {
    what: 'a rule that is turned off where nothing breaks it',
    rule: 'unused directive',
    code: '// eslint-disable-next-line no-console -- was of use once\nconst quiet = 1\n/** Doc. */\nexport const still = quiet\n',
  },
]

/** Of the compiler, by error number and file. */
export const types = [
  {
    what: 'a union case that a table leaves out',
    error: 'TS2741',
    file: 'src/model/plan.ts',
    edits: {
      'src/model/plan.ts': ['export type StepKind =', "export type StepKind = 'breach' |"],
    },
  },
  {
    what: 'a union case that a switch leaves out',
    error: 'TS2322',
    file: 'src/base/breach-unhandled.ts',
    files: {
      'src/base/breach-unhandled.ts':
        "export function sign(kind: 'a' | 'b'): string {\n  switch (kind) {\n    case 'a':\n      return '+'\n    default: {\n      const rest: never = kind\n      return rest\n    }\n  }\n}\n",
    },
  },
  {
    what: 'a plain string for a RelationName',
    error: 'TS2345',
    file: 'src/model/breach-plain-name.ts',
    files: {
      'src/model/breach-plain-name.ts':
        "import { partsOf } from './ids.ts'\nexport const schema: string = partsOf('public.orders').schema\n",
    },
  },
  {
    what: 'an enum',
    error: 'TS1294',
    file: 'src/base/breach-enum.ts',
    files: { 'src/base/breach-enum.ts': 'export enum Colour {\n  Red,\n}\n' },
  },
  {
    what: 'undefined for an optional field',
    error: 'TS2375',
    file: 'src/base/breach-undefined.ts',
    files: {
      'src/base/breach-undefined.ts':
        'export const absent: { readonly name?: string } = { name: undefined }\n',
    },
  },
  {
    what: 'an element that may be absent, used as if it were there',
    error: 'TS2322',
    file: 'src/base/breach-unchecked.ts',
    files: {
      'src/base/breach-unchecked.ts':
        'export const head = (all: readonly string[]): string => all[0]\n',
    },
  },
]

/** Of the compiler as well, which looks at these only where it has found nothing else: run alone. */
export const declarations = [
  {
    what: 'an export without its return type',
    error: 'TS9007',
    file: 'src/base/breach-untyped.ts',
    files: {
      'src/base/breach-untyped.ts':
        'export function untyped(text: string) {\n  return text.length\n}\n',
      'tsconfig.breach.json':
        '{ "extends": "./tsconfig.json", "include": ["src/base/breach-untyped.ts"] }\n',
    },
  },
]

/** Of knip, by the word that its report must hold. */
export const unused = [
  {
    what: 'an export that nothing uses',
    sees: 'breachUnused',
    append: { 'src/model/errors.ts': '\n/** Unused. */\nexport const breachUnused = 1\n' },
  },
  {
    what: 'a file that nothing uses',
    sees: 'src/base/breach-orphan.ts',
    files: { 'src/base/breach-orphan.ts': '/** Alone. */\nexport const alone = 1\n' },
  },
  {
    what: 'a dependency that nothing uses',
    sees: 'breach-dependency',
    edits: {
      'package.json': ['"dependencies": {', '"dependencies": {\n    "breach-dependency": "1.0.0",'],
    },
  },
]

/** Of prettier. */
export const format = [
  {
    what: 'a file that is not formatted',
    sees: 'src/base/breach-format.ts',
    files: { 'src/base/breach-format.ts': 'export const  a   = "b";\n' },
  },
]

/** Of the tests, by the code that the failing test must print. */
export const test = [
  {
    what: 'an error code without an entry in the manual',
    sees: 'TIDEMARK_BREACH_IN_CODE',
    edits: {
      'src/model/errors.ts': [
        'export const errorCatalogue = {',
        "export const errorCatalogue = {\n  TIDEMARK_BREACH_IN_CODE: 'A breach.',",
      ],
    },
  },
  {
    what: 'an entry in the manual without an error code',
    sees: 'TIDEMARK_BREACH_IN_MANUAL',
    append: { 'docs/errors.md': '| `TIDEMARK_BREACH_IN_MANUAL` | A breach. |\n' },
  },
  {
    what: 'a link to a page that is not there',
    sees: 'CONTRIBUTING.md: docs/breach.md',
    append: { 'CONTRIBUTING.md': '\nSee [a page](docs/breach.md).\n' },
  },
  {
    what: 'a link to a heading that is not there',
    sees: 'CONTRIBUTING.md: docs/cli.md#breach',
    append: { 'CONTRIBUTING.md': '\nSee [a heading](docs/cli.md#breach).\n' },
  },
  {
    what: 'a test of a law that is not there',
    sees: 'ARCHITECTURE.md: test/breach.test.ts',
    append: { 'ARCHITECTURE.md': '\nHeld by `test/breach.test.ts`.\n' },
  },
  {
    what: 'a test that runs alone',
    sees: 'Unexpected .only modifier',
    files: {
      'src/base/breach-only.test.ts':
        "import { test } from 'vitest'\n\ntest.only('alone', () => undefined)\n",
    },
  },
]

/** Of publint, in a package whose dist is built. */
export const publication = [
  {
    what: 'exports that point at a missing file',
    sees: 'breach-missing.js',
    edits: {
      'package.json': ['"exports": {', '"exports": {\n    "./breach": "./dist/breach-missing.js",'],
    },
  },
]
