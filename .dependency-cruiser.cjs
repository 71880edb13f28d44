// Who may import whom. A folder may import itself and the folders listed; nothing else.
const nouns = ['base', 'model']
const withPostgres = [...nouns, 'postgres']
const stations = {
  compile: nouns,
  schedule: nouns,
  invalidate: nouns,
  define: withPostgres,
  capture: withPostgres,
  queue: withPostgres,
  observe: withPostgres,
  cache: withPostgres,
}
const mayImport = {
  base: [],
  model: ['base'],
  postgres: nouns,
  ...stations,
  engine: [...withPostgres, ...Object.keys(stations)],
  cli: [...nouns, 'engine'],
  testing: [...withPostgres, ...Object.keys(stations), 'engine'],
  adapters: [...withPostgres, ...Object.keys(stations), 'engine'],
}
// Within a station, where it has folders: what each may import of the others.
const within = {
  'compile/syntax': [],
  'compile/algebra': ['syntax'],
  'compile/bind': ['syntax', 'algebra'],
  'compile/emit': ['syntax', 'algebra'],
  'compile/propose': ['syntax', 'algebra', 'emit'],
}
const innerRules = Object.entries(within).map(([folder, allowed]) => {
  const [station, own] = folder.split('/')
  return {
    name: `layer-${station}-${own}`,
    severity: 'error',
    from: { path: `^src/${folder}/`, pathNot: '[.]test[.]ts$' },
    to: { path: `^src/${station}/`, pathNot: `^src/${station}/(${[own, ...allowed].join('|')})/` },
  }
})
const layered = `^src/(${Object.keys(mayImport).join('|')})/`
const layerRules = Object.entries(mayImport).map(([folder, allowed]) => ({
  name: `layer-${folder}`,
  severity: 'error',
  from: { path: `^src/${folder}/`, pathNot: '[.]test[.]ts$' },
  to: { path: '^src/', pathNot: `^src/(${[folder, ...allowed].join('|')})/` },
}))
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: '[.](test|d)[.]ts$' },
      to: {},
    },
    {
      // Both forms: the bare name, and the file that it resolves to (also behind a symlink).
      name: 'pg-only-in-postgres',
      severity: 'error',
      from: { pathNot: '^src/postgres/' },
      to: {
        path: ['^pg$', '^pg-', 'node_modules/pg/', 'node_modules/pg-', 'node_modules/@types/pg/'],
      },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    ...layerRules,
    ...innerRules,
    {
      name: 'folder-has-a-layer',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: layered },
      to: {},
    },
    {
      name: 'imported-folder-has-a-layer',
      severity: 'error',
      from: {},
      to: { path: '^src/[^/]+/', pathNot: layered },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
}
