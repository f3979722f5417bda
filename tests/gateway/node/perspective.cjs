// A third party's client for the Perspective API, whose address is built in: prints what it got.
const Perspective = require("perspective-api-client");

const client = new Perspective({ apiKey: process.env.KEY });

async function main() {
  const print = (value) => console.log(JSON.stringify(value));
  print(await client.analyze("you are bad", { attributes: ["toxicity", "insult"] }));
  print(
    await client.analyze({
      comment: { text: "fine" },
      languages: ["en"],
      requestedAttributes: { TOXICITY: { scoreThreshold: 0.6 } },
    }),
  );
  try {
    await client.analyze("bad", { attributes: ["UNKNOWN"] });
  } catch (error) {
    print({ name: error.name, message: error.message });
  }
}

main();
