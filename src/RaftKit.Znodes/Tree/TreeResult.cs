namespace RaftKit.Znodes.Tree;

/// <summary>What a command came to: one operation's result, or those of a multi.</summary>
internal readonly struct TreeResult
{
    private readonly ZnodeOperationResult _single;

    public TreeResult(in ZnodeOperationResult single) => _single = single;

    public TreeResult(ZnodeOperationResult[] operations) => Operations = operations;

    /// <summary>One for each operation of a multi; null if the command was not a multi.</summary>
    public IReadOnlyList<ZnodeOperationResult>? Operations { get; }

    /// <summary>The result of a command that was not a multi.</summary>
    public ZnodeOperationResult Single =>
        Operations is null ? _single : throw new InvalidOperationException("The result of a multi was read as that of a single operation.");

    /// <summary>None if it was applied; else why it was refused (for a multi: the error of the operation that failed).</summary>
    public ZnodeError Error
    {
        get
        {
            if (Operations is null)
                return _single.Error;
            foreach (var result in Operations)
                if (result.Error != ZnodeError.None)
                    return result.Error;
            return ZnodeError.None;
        }
    }
}
