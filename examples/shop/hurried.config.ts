import { defineConfig } from 'tidemark'
import shop from './tidemark.config.ts'

/**
 * The same shop with no target above 5 s and every refresh compared with its query, so that a run of
 * 20 s sees each view refreshed and checked often.
 */
export default defineConfig({
  ...shop,
  views: Object.fromEntries(
    Object.entries(shop.views).map(([name, view]) => [
      name,
      { ...view, verify: 'full', target: view.policy === 'eager' ? '2s' : '5s' },
    ]),
  ),
})
