// Asks the browser for a passkey and sends what it says with the form whose button was pressed.
// Without this script, or in a browser without passkeys, these forms stay hidden: codes still work.
"use strict";

const ceremonies = {
  get: (options) =>
    navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }),
  create: (options) =>
    navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) }),
};

const tell = (form, text) => {
  const place = form.querySelector("[role=alert]");
  place.textContent = text;
  place.hidden = false;
};

const press = async (form) => {
  try {
    const credential = await ceremonies[form.dataset.passkey](JSON.parse(form.dataset.options));
    form.elements.credential.value = JSON.stringify(credential.toJSON());
  } catch (error) {
    const known = error.name === "InvalidStateError";
    tell(form, known ? "This device holds a passkey of yours already." : "No passkey was used. Try again.");
    return;
  }
  form.submit();
};

if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      press(form);
    });
  }
}
