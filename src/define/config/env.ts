import { TidemarkError } from '../../model/errors.ts'

/**
 * Reads a secret from the environment, for use in a configuration: `url: env('SHOP_DATABASE_URL')`.
 * A variable that is not set, or is empty, is a {@link TidemarkError} that names it; its value is never told.
 */
export function env(name: string): string {
  const value = process.env[name]
  if (value !== undefined && value !== '') return value
  throw new TidemarkError({
    code: 'TIDEMARK_VARIABLE_MISSING',
    what: `The environment variable ${name} is ${value === '' ? 'empty' : 'not set'}`,
    mend: `Set it where tidemark is started: export ${name}=… .`,
    place: `env('${name}')`,
  })
}
