// OpenAI's official client for Node: prints what it got, one JSON object a line.
const OpenAI = require("openai");

const client = new OpenAI({ apiKey: process.env.KEY, baseURL: process.env.URL, maxRetries: 3 });

async function main() {
  const print = (value) => console.log(JSON.stringify(value));
  print(await client.moderations.create({ input: "you are bad" }));
  print(await client.moderations.create({ model: "omni-moderation-latest", input: ["fine", "bad"] }));
  print(await client.moderations.create({ input: [{ type: "text", text: "so bad" }] }));
  const refused = [
    { input: [{ type: "image_url", image_url: { url: "https://example.org/cat.png" } }] },
    { model: "gpt-unknown", input: "hello" },
    { input: [] },
  ];
  for (const body of refused) {
    try {
      await client.moderations.create(body);
    } catch (error) {
      print({ name: error.constructor.name, status: error.status, code: error.code, param: error.param, type: error.type });
    }
  }
}

main();
