using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

public sealed class ZnodePathTests
{
    [Theory]
    [InlineData("/")]
    [InlineData("/a")]
    [InlineData("/a/b")]
    [InlineData("/.a/..b/c.")]
    [InlineData("/...")]
    [InlineData("/a b")]
    [InlineData("/\u00a0\ud7ff\uf900\uffef")]
    public void A_canonical_absolute_path_is_valid(string path)
    {
        Assert.True(ZnodePath.IsValid(path, out var reason));
        Assert.Null(reason);
    }

    [Theory]
    [InlineData(null, "is null")]
    [InlineData("", "is empty")]
    [InlineData("a", "does not begin with a slash")]
    [InlineData("/a/", "ends in a slash")]
    [InlineData("//", "has an empty element at 1")]
    [InlineData("//a", "has an empty element at 1")]
    [InlineData("/a//b", "has an empty element at 3")]
    [InlineData("/.", "has the relative element '.' at 1")]
    [InlineData("/a/../b", "has the relative element '..' at 3")]
    [InlineData("/a\u0000", "holds the character U+0000 at 2, which is not allowed")]
    [InlineData("/\u001f", "holds the character U+001F at 1, which is not allowed")]
    [InlineData("/\u007f", "holds the character U+007F at 1, which is not allowed")]
    [InlineData("/\u009f", "holds the character U+009F at 1, which is not allowed")]
    [InlineData("/\ue000", "holds the character U+E000 at 1, which is not allowed")]
    [InlineData("/\uf8ff", "holds the character U+F8FF at 1, which is not allowed")]
    [InlineData("/\ufff0", "holds the character U+FFF0 at 1, which is not allowed")]
    [InlineData("/\U0001F600", "holds the character U+D83D at 1, which is not allowed")]
    public void Any_other_path_is_refused_with_the_reason_in_words(string? path, string expected)
    {
        Assert.False(ZnodePath.IsValid(path, out var reason));
        Assert.Equal(expected, reason);
    }

    [Fact]
    public void A_sequential_path_may_end_in_a_slash()
    {
        Assert.True(ZnodePath.IsValidSequential("/a/", out _));
        Assert.True(ZnodePath.IsValidSequential("/a/.", out _));
        Assert.False(ZnodePath.IsValidSequential("/a//", out _));
        Assert.False(ZnodePath.IsValidSequential("", out _));
    }

    [Theory]
    [InlineData("/", null, "")]
    [InlineData("/a", "/", "a")]
    [InlineData("/a/b", "/a", "b")]
    [InlineData("/a/b/c", "/a/b", "c")]
    public void A_path_splits_into_parent_and_name(string path, string? parent, string name)
    {
        Assert.Equal(parent, ZnodePath.Parent(path));
        Assert.Equal(name, ZnodePath.Name(path).ToString());
        Assert.Equal(parent ?? "", new TreeChange(TreeChangeKind.Created, path, 1).ParentSpan.ToString());
    }

    [Theory]
    [InlineData("/a", "/", true)]
    [InlineData("/", "/", true)]
    [InlineData("/a", "/a", true)]
    [InlineData("/a/b", "/a", true)]
    [InlineData("/ab", "/a", false)]
    [InlineData("/", "/a", false)]
    public void Below_means_by_whole_elements(string path, string ancestor, bool below) =>
        Assert.Equal(below, ZnodePath.IsAtOrBelow(path, ancestor));
}
