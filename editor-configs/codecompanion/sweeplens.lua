-- Goes into your Neovim settings, where codecompanion.nvim is set up. It shows text answers of stdio servers.
require("codecompanion").setup({
  mcp = {
    servers = {
      sweeplens = {
        cmd = { "/home/you/project/.venv/bin/sweeplens", "serve", "--root", "/home/you/project/experiments" },
      },
    },
  },
})
