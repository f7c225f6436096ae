"""Training of small policies around a denoiser, which itself stays as it is.

tasks            prompts, types and gold answers
rewards          what an answer is worth, and what it cost
rollouts         many canvases at once; passes over equal canvases are made once
policy_gradient  REINFORCE with a group baseline
block_policy     how long the next block is: `LearnedBlocks`
commit_policy    which tokens are final: `TraceLock`
curves           what happened, as a picture
"""
