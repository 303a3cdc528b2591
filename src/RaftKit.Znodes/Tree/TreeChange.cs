namespace RaftKit.Znodes.Tree;

/// <summary>What was done to a znode. The values are those of <see cref="WatchEventType"/>.</summary>
internal enum TreeChangeKind : byte
{
    Created = WatchEventType.Created,
    Deleted = WatchEventType.Deleted,
    DataChanged = WatchEventType.DataChanged,
}

/// <summary>One change, as watches hear it. A creation or a deletion also changes the children of <see cref="ParentPath"/>.</summary>
internal readonly record struct TreeChange(TreeChangeKind Kind, string Path, long Zxid)
{
    public bool ChangesParentsChildren => Kind != TreeChangeKind.DataChanged;

    /// <summary>The parent's path (a new string, unless the root); null for the root itself.</summary>
    public string? ParentPath => ZnodePath.Parent(Path);

    /// <summary>As <see cref="ParentPath"/>, without allocating; empty for the root itself.</summary>
    public ReadOnlySpan<char> ParentSpan =>
        Path.Length <= 1 ? default : Path.AsSpan(0, Math.Max(1, Path.LastIndexOf('/')));
}
