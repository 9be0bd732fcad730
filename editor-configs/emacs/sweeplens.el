;; Goes into your Emacs settings; mcp.el starts the server (M-x mcp-hub) and gptel takes its tools (M-x gptel-mcp-connect).
(with-eval-after-load 'mcp-hub
  (add-to-list 'mcp-hub-servers
               '("sweeplens" . (:command "/home/you/project/.venv/bin/sweeplens"
                                :args ("serve" "--root" "/home/you/project/experiments")))))
