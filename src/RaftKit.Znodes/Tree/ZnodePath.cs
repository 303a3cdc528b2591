using System.Diagnostics.CodeAnalysis;

namespace RaftKit.Znodes.Tree;

/// <summary>The rules of paths: absolute and canonical, without the characters that ZooKeeper refuses.</summary>
internal static class ZnodePath
{
    public const string Root = "/";

    /// <summary>Whether a znode may have this path.</summary>
    /// <param name="path">The path as a caller gave it.</param>
    /// <param name="reason">If not, why, in words that complete "the path ...".</param>
    public static bool IsValid([NotNullWhen(true)] string? path, [NotNullWhen(false)] out string? reason)
    {
        reason = path is null ? "is null" : Flaw(path);
        return reason is null;
    }

    /// <summary>As <see cref="IsValid"/>, for a path to which a sequence number will be appended: it may end in a slash.</summary>
    public static bool IsValidSequential([NotNullWhen(true)] string? path, [NotNullWhen(false)] out string? reason)
    {
        reason = path is null ? "is null" : Flaw(path + "0");
        return reason is null;
    }

    /// <summary>The parent's path; null for the root.</summary>
    public static string? Parent(string path)
    {
        if (path.Length <= 1)
            return null;
        var slash = path.LastIndexOf('/');
        return slash <= 0 ? Root : path[..slash];
    }

    /// <summary>The last element; empty for the root.</summary>
    public static ReadOnlySpan<char> Name(string path) => path.AsSpan(path.LastIndexOf('/') + 1);

    /// <summary>Whether <paramref name="path"/> is <paramref name="ancestor"/> or below it.</summary>
    public static bool IsAtOrBelow(ReadOnlySpan<char> path, ReadOnlySpan<char> ancestor) =>
        ancestor is Root ||
        (path.StartsWith(ancestor, StringComparison.Ordinal) && (path.Length == ancestor.Length || path[ancestor.Length] == '/'));

    private static string? Flaw(ReadOnlySpan<char> path)
    {
        if (path.IsEmpty)
            return "is empty";
        if (path[0] != '/')
            return "does not begin with a slash";
        if (path.Length == 1)
            return null;

        var start = 1;
        for (var i = 1; i <= path.Length; i++)
        {
            if (i < path.Length && path[i] != '/')
            {
                if (IsRefused(path[i]))
                    return $"holds the character U+{(int)path[i]:X4} at {i}, which is not allowed";
                continue;
            }

            var element = path[start..i];
            if (element.IsEmpty)
                return i == path.Length ? "ends in a slash" : $"has an empty element at {i}";
            if (element is "." or "..")
                return $"has the relative element '{element}' at {start}";
            start = i + 1;
        }
        return null;
    }

    // Control characters; surrogates and the private use area (so nothing beyond the basic plane); the specials.
    private static bool IsRefused(char c) =>
        c is <= '\u001f' or (>= '\u007f' and <= '\u009f') or (>= '\ud800' and <= '\uf8ff') or >= '\ufff0';
}
