export default async function handler(_request, response) {
  await response.revalidate('/listing')
  response.end('renewed')
}
