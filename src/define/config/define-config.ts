import type { TidemarkConfig } from './tidemark-config.ts'

/**
 * Declares a configuration: `export default defineConfig({ … })` in `tidemark.config.ts`.
 * Returns what it is given; it is there so that editors know the words and mark the wrong ones.
 */
export const defineConfig = (config: TidemarkConfig): TidemarkConfig => config
