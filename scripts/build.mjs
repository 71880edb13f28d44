// npm run build and npm pack: dist from src, unless dist was built from just these sources.
import { build, main } from './checkout.mjs'

await main(() => build(process.stderr))
