// The program, for processes of their own that tests start.
import { isBuilt } from '../../scripts/checkout.mjs'

/** A module of src, `engine/engine`: from dist where that was built of these sources, which loads in a third of the time. */
export async function load(name) {
  if (isBuilt()) return import(`../../dist/${name}.js`)
  const { createJiti } = await import('jiti')
  return createJiti(import.meta.url).import(`../../src/${name}.ts`)
}
