import ts from 'typescript'
import type { Plugin } from 'vitest/config'

/** Decorators of frameworks that are older than the standard, and the types that they ask for at run time. */
const legacy = { experimentalDecorators: true, emitDecoratorMetadata: true }

/**
 * Compiles files with decorators as tsc does: Vite leaves standard decorators in place, and Node 20 cannot parse them. Those in
 * files named `*.legacy.ts` are the decorators of `experimentalDecorators`.
 */
export const decorators = (): Plugin => ({
  name: 'decorators',
  enforce: 'pre',
  transform(code, id) {
    if (!id.endsWith('.ts') || id.includes('node_modules') || !/^\s*@\w+[.(]/m.test(code)) return
    const { outputText, sourceMapText } = ts.transpileModule(code, {
      fileName: id,
      compilerOptions: {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.ESNext,
        verbatimModuleSyntax: true,
        sourceMap: true,
        ...(id.endsWith('.legacy.ts') ? legacy : {}),
      },
    })
    return { code: outputText, map: sourceMapText ?? null }
  },
})
